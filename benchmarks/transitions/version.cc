#include "version.h"

int version() { return 1; }
