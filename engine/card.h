/*
 * The GPU that this process searches with: one, opened by the first that asks, and shared by all databases. After an error of the
 * device nothing on it can be relied on, and it is not used again; a lack of memory is no such error.
 */
#ifndef CRN_ENGINE_CARD_H
#define CRN_ENGINE_CARD_H

#include "gpu/gpu.h"

struct crn_card_state {
    const char *driver; /* "cuda", "none" */
    unsigned devices;
    char why_none[200];              /* "" while a device is in use, or none was asked for yet */
    struct crn_gpu_device_info info; /* of the device in use; name "" when none is */
    uint32_t indexes;                /* segments that are on the card now */
    uint64_t device_bytes;           /* of them */
    uint64_t searches;               /* that the card answered */
    uint64_t fallbacks; /* segments or searches left to the processor, for lack of memory or an error */
};

/* Opens no device. */
void crn_card_get_state(struct crn_card_state *out_state);

/* Tests: uses another driver from now on; NULL: the machine's. Nothing may be on the card. */
void crn_card_use(const struct crn_gpu_driver *driver);

/* A device is open and works: somebody asked for it. */
bool crn_card_ready(void);

/* The device, opened by the first call. UNSUPPORTED, with the reason, where there is none, or it failed before. */
cairn_status crn_card_take(struct crn_gpu **out_gpu, cairn_error *err);

/* It is not used again. */
void crn_card_give_up(const char *why);

/* A stream of the device, which must be open, for one search. */
cairn_status crn_card_take_stream(struct crn_gpu_stream **out_stream, cairn_error *err);
void crn_card_give_stream(struct crn_gpu_stream *stream);

/* For the statistics. */
void crn_card_add_rows(uint64_t device_bytes);
void crn_card_remove_rows(uint64_t device_bytes);
void crn_card_count_search(void);
void crn_card_count_fallback(void);

#endif
