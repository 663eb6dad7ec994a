/* An allocator that knows its own blocks, and ends the process over any other. Included by programs
 * that define malloc themselves, and compiled into a shared library. */
#include <errno.h>
#include <pthread.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#define POOL_SIZE ((size_t)256 << 20)
#define POOL_MAGIC 0x706f6f6cu

struct pool_header {
  size_t size;
  unsigned magic;
  unsigned serial;
};

static pthread_mutex_t pool_mutex = PTHREAD_MUTEX_INITIALIZER;
static char* pool_begin;
static size_t pool_used;
static struct pool_header* pool_free[48]; /* by the logarithm of the size; the next in the block */
/* Not zero in the beginning: threads have to have been given their values when they allocate. */
static __thread unsigned pool_serial = 1000;

static int pool_owns(const void* block) {
  const char* at = block;
  return pool_begin != NULL && at >= pool_begin && at < pool_begin + POOL_SIZE;
}

static void pool_die(const char* why) {
  if (write(2, why, strlen(why)) < 0) _exit(3);
  _exit(3);
}

static struct pool_header* pool_header_of(void* block) {
  if (!pool_owns(block)) pool_die("pool: a foreign block\n");
  struct pool_header* header = (struct pool_header*)block - 1;
  if (header->magic != POOL_MAGIC) pool_die("pool: not a block\n");
  return header;
}

static unsigned pool_class(size_t size) {
  unsigned log = 5;
  while (((size_t)1 << log) < size) ++log;
  return log;
}

static void* pool_take(size_t size, size_t alignment) {
  if (alignment > 16) size += alignment;
  unsigned class = pool_class(size + sizeof(struct pool_header));
  if (pool_serial < 1000) pool_die("pool: a thread without its thread-locals\n");
  pthread_mutex_lock(&pool_mutex);
  if (pool_begin == NULL) {
    void* mapped = mmap(NULL, POOL_SIZE, PROT_READ | PROT_WRITE,
                        MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    if (mapped == MAP_FAILED) pool_die("pool: no memory\n");
    pool_begin = mapped;
  }
  struct pool_header* header = NULL;
  if (alignment <= 16 && pool_free[class] != NULL) {
    header = pool_free[class];
    memcpy(&pool_free[class], header + 1, sizeof(void*));
  } else if (pool_used + ((size_t)1 << class) <= POOL_SIZE) {
    uintptr_t block = (uintptr_t)pool_begin + pool_used + sizeof(struct pool_header);
    block = (block + alignment - 1) & ~(alignment - 1);
    header = (struct pool_header*)block - 1;
    pool_used += (size_t)1 << class;
  }
  pthread_mutex_unlock(&pool_mutex);
  if (header == NULL) {
    errno = ENOMEM;
    return NULL;
  }
  header->size =
      ((size_t)1 << class) - sizeof(struct pool_header) - (alignment > 16 ? alignment : 0);
  header->magic = POOL_MAGIC;
  header->serial = ++pool_serial;
  return header + 1;
}

static void pool_give_back(void* block) {
  if (block == NULL) return;
  struct pool_header* header = pool_header_of(block);
  unsigned class = pool_class(header->size + sizeof(struct pool_header));
  header->magic = 0;
  /* Aligned ones are lost. */
  if (((size_t)1 << class) != header->size + sizeof(struct pool_header)) return;
  pthread_mutex_lock(&pool_mutex);
  memcpy(block, &pool_free[class], sizeof(void*));
  pool_free[class] = header;
  pthread_mutex_unlock(&pool_mutex);
}
