/* Things kept for whoever needs one next: the memory of a search, when it has ended. Any threads. */
#ifndef CRN_ENGINE_IDLE_H
#define CRN_ENGINE_IDLE_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>

#define CRN_IDLE_MOST 8u

/* All NULL at first. */
struct crn_idle {
    _Atomic(void *) things[CRN_IDLE_MOST];
};

/* One of them, or NULL. */
static inline void *crn_idle_take(struct crn_idle *idle)
{
    for (unsigned i = 0; i < CRN_IDLE_MOST; i++) {
        if (atomic_load_explicit(&idle->things[i], memory_order_relaxed) == NULL) continue;
        /* Acquire: what its last user left in it is seen. */
        void *thing = atomic_exchange_explicit(&idle->things[i], NULL, memory_order_acquire);
        if (thing != NULL) return thing;
    }
    return NULL;
}

/* False: enough are kept, and this one stays the caller's. */
static inline bool crn_idle_give(struct crn_idle *idle, void *thing)
{
    for (unsigned i = 0; i < CRN_IDLE_MOST; i++) {
        void *none = NULL;
        /* Release: its next user sees what is in it. */
        if (atomic_compare_exchange_strong_explicit(&idle->things[i], &none, thing, memory_order_release,
                                                    memory_order_relaxed)) {
            return true;
        }
    }
    return false;
}

#endif
