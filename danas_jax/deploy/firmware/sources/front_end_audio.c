#include "front_end.h"
#include "preprocess_audio.h"

void danas_front_end_begin(void) { danas_preprocess_audio_begin(); }

void danas_front_end_take(const danas_raw *portion, int32_t count) { danas_preprocess_audio_samples(portion, count); }

int danas_front_end_input(int8_t *input) { return danas_preprocess_audio_input(input); }
