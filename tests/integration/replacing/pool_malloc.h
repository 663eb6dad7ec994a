/* C's functions, of the pool. A fork waits until it is in order. */
#include "pool.h"

static void pool_lock(void) { pthread_mutex_lock(&pool_mutex); }
static void pool_unlock(void) { pthread_mutex_unlock(&pool_mutex); }
__attribute__((constructor)) static void pool_register(void) {
  pthread_atfork(pool_lock, pool_unlock, pool_unlock);
}

void* malloc(size_t size) { return pool_take(size, 16); }
void free(void* block) { pool_give_back(block); }
void* calloc(size_t count, size_t size) {
  size_t bytes;
  if (__builtin_mul_overflow(count, size, &bytes)) return NULL;
  void* block = pool_take(bytes, 16);
  if (block != NULL) memset(block, 0, bytes);
  return block;
}
size_t malloc_usable_size(void* block) { return block == NULL ? 0 : pool_header_of(block)->size; }
void* realloc(void* block, size_t size) {
  if (block == NULL) return malloc(size);
  struct pool_header* header = pool_header_of(block);
  if (size <= header->size) return block;
  void* moved = malloc(size);
  if (moved == NULL) return NULL;
  memcpy(moved, block, header->size);
  free(block);
  return moved;
}
void* memalign(size_t alignment, size_t size) {
  return pool_take(size, alignment < 16 ? 16 : alignment);
}
void* aligned_alloc(size_t alignment, size_t size) { return memalign(alignment, size); }
int posix_memalign(void** block, size_t alignment, size_t size) {
  *block = memalign(alignment, size);
  return *block == NULL ? ENOMEM : 0;
}
void* valloc(size_t size) { return memalign(4096, size); }
void* pvalloc(size_t size) { return memalign(4096, (size + 4095) & ~(size_t)4095); }
int is_of_pool(const void* block) { return pool_owns(block); }
