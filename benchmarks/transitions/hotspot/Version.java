/** What is redefined. */
public class Version {
  static int version() {
    return 41;
  }
}
