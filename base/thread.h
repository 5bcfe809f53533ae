/* Work in parallel, and nothing else: locks are pthread's own. */
#ifndef CRN_BASE_THREAD_H
#define CRN_BASE_THREAD_H

#include <stddef.h>

/* Calls fn(ctx, begin, end, worker) over pieces of [0,count) of at most `grain` on up to `threads` threads,
 * the caller's included; worker is 0..threads-1, the caller 0. Pieces are handed out as threads get free.
 * Returns when all are done. Runs on the caller's thread alone when no thread can be had. */
void crn_parallel_for(unsigned threads, size_t count, size_t grain,
                      void (*fn)(void *ctx, size_t begin, size_t end, unsigned worker), void *ctx);

#endif
