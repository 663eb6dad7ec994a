import java.lang.instrument.ClassDefinition;
import java.lang.instrument.Instrumentation;
import java.util.concurrent.CountDownLatch;

/** Redefine THREADS ROUNDS: class Version is redefined while threads sleep; milliseconds per round. */
public class Redefine {
  static Instrumentation instrumentation;

  public static void premain(String arguments, Instrumentation given) {
    instrumentation = given;
  }

  public static void main(String[] arguments) throws Exception {
    int threads = Integer.parseInt(arguments[0]);
    int rounds = Integer.parseInt(arguments[1]);
    CountDownLatch asleep = new CountDownLatch(threads);
    Object never = new Object();
    for (int i = 0; i < threads; ++i) {
      Thread thread = new Thread(() -> {
        Version.version();
        asleep.countDown();
        synchronized (never) {
          try {
            never.wait();
          } catch (InterruptedException ended) {
            return;
          }
        }
      });
      thread.setDaemon(true);
      thread.start();
    }
    asleep.await();
    Thread.sleep(100);
    byte[] original = Redefine.class.getResourceAsStream("Version.class").readAllBytes();
    for (int round = 0; round < rounds; ++round) {
      byte[] edited = original.clone();
      // The constant that Version.version() returns: bipush 41 becomes another number each round.
      int wanted = 42 + round % 50;
      int at = -1;
      for (int i = 0; i + 2 < edited.length; ++i) {
        if (edited[i] == 0x10 && edited[i + 1] == 41 && (edited[i + 2] & 0xff) == 0xac) at = i + 1;
      }
      edited[at] = (byte) wanted;
      long begin = System.nanoTime();
      instrumentation.redefineClasses(new ClassDefinition(Version.class, edited));
      long end = System.nanoTime();
      if (Version.version() != wanted) throw new IllegalStateException("not redefined");
      System.out.printf("%.6f%n", (end - begin) / 1e6);
    }
  }
}
