/* Two principal components of rows of numbers, for drawing them in a plane. */
#ifndef CRN_SERVER_PCA_H
#define CRN_SERVER_PCA_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/*
 * rows: [count][dim] f32, finite, row-major; their mean is taken off in place. out_plane: [count][2], each row's
 * coordinates along the two directions of largest variance (one is 0 where there is none). out_shares: the
 * shares of all variance that they show. Orthogonal iteration (Golub and Van Loan, Matrix Computations, 8.2)
 * from a fixed start: equal rows give an equal plane. `wanted` is asked once an iteration, may be NULL. False:
 * it said no, or memory ran out (*out_no_memory).
 */
bool crn_pca_plane(float *rows, size_t count, uint32_t dim, bool (*wanted)(void *ctx), void *ctx,
                   float *out_plane, double out_shares[2], bool *out_no_memory);

#endif
