/* Samples of sensors to the network's input, in integers, bit for bit the view that the network was trained on.
 *
 * The arithmetic is derived in danas_jax/views/series.py: sums over blocks of samples, the network's channels only, a
 * multiplier each, then code - 128. Sample by sample (danas_series_sample as they come, danas_series_input before an
 * inference), or a whole window at once. What a network needs is generated: series_config.h.
 */
#ifndef DANAS_SERIES_H_
#define DANAS_SERIES_H_

#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

typedef struct {
  int32_t sensors;           /* int16 numbers in a sample */
  int32_t channels;          /* of them that the network reads */
  int32_t factor;            /* samples to a row */
  int32_t length;            /* rows of the network's input */
  const uint8_t *channel;    /* [channels] which numbers of a sample */
  const int32_t *multiplier; /* [channels] codes to a unit of a row's sum, times 2^24 */
} danas_series_view;

typedef struct {
  const danas_series_view *view;
  int32_t *sums;   /* [channels] of the row that is being summed */
  int8_t *rows;    /* [length][channels], a ring */
  int32_t samples; /* in the sums */
  int32_t row;     /* of the ring that comes next */
  int32_t filled;  /* rows of the ring */
} danas_series;

/* Before the first sample, and where samples were lost. The memory stays the caller's. */
void danas_series_begin(danas_series *state, const danas_series_view *view, int32_t *sums, int8_t *rows);

/* The next sample, [sensors]; 1 where it completes a row, else 0. */
int danas_series_sample(danas_series *state, const int16_t *sample);

/* The newest rows as the network's input, [length][channels]; 0 while there are too few, else 1. */
int danas_series_input(const danas_series *state, int8_t *input);

/* The input out of [count][sensors] samples at once: the newest ones; 0 where there are too few, else 1. */
int danas_series_window(const danas_series_view *view, const int16_t *samples, int32_t count, int8_t *input);

#ifdef __cplusplus
}
#endif

#endif /* DANAS_SERIES_H_ */
