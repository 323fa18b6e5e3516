/* Sound to this network's input (mel.h, with the tables of mel_config.h); its buffers are static. */
#ifndef DANAS_PREPROCESS_AUDIO_H_
#define DANAS_PREPROCESS_AUDIO_H_

#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

/* A whole clip, [DANAS_MEL_SAMPLES] of mel_config.h, with silence before it. */
void danas_preprocess_audio(const int16_t *sound, int8_t *input);

/* Or as it is recorded: once before the first sample, then every portion; how many rows it completed. */
void danas_preprocess_audio_begin(void);
int32_t danas_preprocess_audio_samples(const int16_t *sound, int32_t count);

/* The newest clip's input; 0 while there is too little sound, else 1. */
int danas_preprocess_audio_input(int8_t *input);

#ifdef __cplusplus
}
#endif

#endif /* DANAS_PREPROCESS_AUDIO_H_ */
