/*
 * A segment's rows on a GPU where its index is another, or none: when, and whether a search is answered there.
 *
 * A query that asks for the GPU gets it at once. For one that leaves it open the planner decides, and only where the search would otherwise
 * compare rows one by one, while a GPU is in use by this process (a gpu index, or a query that asked for it): Cairn opens none on
 * its own. Rows are uploaded when the segment was compared as often as CRN_CARD_SCANS times, the next CRN_CARD_TRIES searches are answered by
 * the card, and from then on whichever was quicker: the least time that the card took, or the least that comparing a row took, times
 * the rows that are allowed.
 */
#ifndef CRN_ENGINE_SEGMENT_CARD_H
#define CRN_ENGINE_SEGMENT_CARD_H

#include <cairn/search.h>
#include <stdatomic.h>
#include <stddef.h>

#define CRN_CARD_SCANS 32u
#define CRN_CARD_TRIES 4u

struct crn_index;
struct crn_segment;

/* Of a segment. Counters are relaxed: they are estimates. */
struct crn_segment_card {
    _Atomic(struct crn_index *) rows; /* the gpu backend's; released with the segment */
    _Atomic bool failed;              /* no memory, or damaged rows: it is not tried again */
    _Atomic uint64_t scanned_rows;    /* while a GPU was in use and the rows were not on it */
    _Atomic uint64_t
        row_ps; /* the least that the processor took for a row, in picoseconds; 0: not measured */
    _Atomic uint64_t search_ns; /* the least that the card took for a search; 0: not measured */
    _Atomic uint32_t tries;     /* searches that it answered */
};

/* The rows on the card, where a search of this device is to ask them; else NULL. */
struct crn_index *crn_segment_card(struct crn_segment *segment, cairn_device device, size_t allowed);

/* What a search took: on the card, or by the processor for so many rows. */
void crn_segment_card_note_search(struct crn_segment *segment, uint64_t ns);
void crn_segment_card_note_scan(struct crn_segment *segment, size_t rows, uint64_t ns);

/* By what was noted: is the card the quicker one for so many rows? */
bool crn_segment_card_is_quicker(const struct crn_segment_card *card, size_t allowed);

void crn_segment_card_release(struct crn_segment *segment);

#endif
