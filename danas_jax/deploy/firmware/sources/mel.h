/* Sound to the network's input, in integers, bit for bit the view that the network was trained on.
 *
 * The arithmetic is derived in danas_jax/views/decimate.py, fixed_fft.py and mel.py: low-pass and decimation, frames,
 * windowed FFT with block scaling, mel bins, logarithm, MFCC where the network reads them, then code - 128. Samples are
 * taken as they come, in portions of any length: no buffer for the clip. What a network needs is generated:
 * mel_config.h.
 */
#ifndef DANAS_MEL_H_
#define DANAS_MEL_H_

#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

typedef struct {
  int32_t factor, taps;          /* samples to one after decimation; taps of its low-pass, 0 where the factor is 1 */
  int32_t window, hop, size;     /* of a frame: samples, samples from frame to frame, points of the FFT */
  int32_t mel_bins, mfccs;       /* mfccs 0: the network reads the mel bins */
  int32_t frames;                /* rows of the network's input */
  int32_t floor, span;           /* of the levels, 4096 an octave */
  const int16_t *tap;            /* [taps] */
  const int16_t *hann;           /* [window] */
  const int16_t *sine;           /* [3 size / 4] */
  const uint16_t *start;         /* [mel_bins + 2] first spectral bin of each segment */
  const uint16_t *rise;          /* [start[mel_bins + 1] - start[0]] */
  const int16_t *dct;            /* [mfccs][mel_bins] */
} danas_mel_view;

/* What a view works in; the memory stays the caller's. */
typedef struct {
  int16_t *history;  /* [2 taps] of the low-pass */
  int16_t *sound;    /* [window] of the next frame */
  int32_t *spectrum; /* [size] */
  int32_t *levels;   /* [mel_bins] */
  int8_t *rows;      /* [frames][mfccs or mel_bins], a ring */
} danas_mel_memory;

typedef struct {
  const danas_mel_view *view;
  danas_mel_memory memory;
  int32_t newest;  /* where the next sample goes in the history */
  int32_t pending; /* samples since the last one after decimation */
  int32_t filled;  /* samples of the next frame */
  int32_t row;     /* of the ring that comes next */
  int32_t rows;    /* of the ring that are filled */
} danas_mel;

/* Before the first sample, and where samples were lost. */
void danas_mel_begin(danas_mel *state, const danas_mel_view *view, const danas_mel_memory *memory);

/* The next samples at the native rate; how many rows they completed. */
int32_t danas_mel_samples(danas_mel *state, const int16_t *sound, int32_t count);

/* The newest rows as the network's input, [frames][mfccs or mel_bins]; 0 while there are too few, else 1. */
int danas_mel_input(const danas_mel *state, int8_t *input);

#ifdef __cplusplus
}
#endif

#endif /* DANAS_MEL_H_ */
