// A program's own symbols of the names that linkers give to places.
#include <stdio.h>
int end = 4;
int edata[2] = {5, 6};
int etext(void) { return 7; }
int main(void) { printf("%d %d %d\n", end, edata[1], etext()); }
