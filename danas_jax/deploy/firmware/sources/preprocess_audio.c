#include "preprocess_audio.h"

#include "mel_config.h"

static danas_mel state;

void danas_preprocess_audio_begin(void) { danas_mel_begin(&state, &danas_mel_network, &danas_mel_buffers); }

int32_t danas_preprocess_audio_samples(const int16_t *sound, int32_t count) {
  return danas_mel_samples(&state, sound, count);
}

int danas_preprocess_audio_input(int8_t *input) { return danas_mel_input(&state, input); }

void danas_preprocess_audio(const int16_t *sound, int8_t *input) {
  danas_preprocess_audio_begin();
  danas_preprocess_audio_samples(sound, DANAS_MEL_SAMPLES);
  danas_preprocess_audio_input(input);
}
