#include "front_end.h"
#include "series_config.h"

static danas_series state;

void danas_front_end_begin(void) {
  danas_series_begin(&state, &danas_series_network, danas_series_sums, danas_series_rows);
}

void danas_front_end_take(const danas_raw *portion, int32_t count) {
  for (; count >= DANAS_SERIES_SENSORS; count -= DANAS_SERIES_SENSORS, portion += DANAS_SERIES_SENSORS) {
    danas_series_sample(&state, portion);
  }
}

int danas_front_end_input(int8_t *input) { return danas_series_input(&state, input); }
