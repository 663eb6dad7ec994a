// dl_iterate_phdr: conservative garbage collectors take the segments for all static data there is.
#define _GNU_SOURCE
#include <link.h>
#include <stdio.h>
#include <string.h>
static int data = 5;
int bss;
const char ro[] = "x";
static int found_data, found_code, found_ro, found_bss;
static int cb(struct dl_phdr_info* i, size_t s, void* p) {
  for (int k = 0; k < i->dlpi_phnum; k++) {
    const ElfW(Phdr)* h = &i->dlpi_phdr[k];
    if (h->p_type != PT_LOAD) continue;
    char *b = (char*)i->dlpi_addr + h->p_vaddr, *e = b + h->p_memsz;
    found_data |= ((char*)&data >= b && (char*)&data < e && (h->p_flags & PF_W));
    found_bss |= ((char*)&bss >= b && (char*)&bss < e && (h->p_flags & PF_W));
    found_code |= ((char*)cb >= b && (char*)cb < e && (h->p_flags & PF_X));
    found_ro |= ((char*)ro >= b && (char*)ro < e);
  }
  return 0;
}
int main(void) {
  dl_iterate_phdr(cb, 0);
  printf("%d %d %d %d\n", found_data, found_bss, found_code, found_ro);
}
