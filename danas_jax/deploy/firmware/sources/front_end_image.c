#include "front_end.h"
#include "preprocess.h"

static const uint8_t *frame;

void danas_front_end_begin(void) { frame = 0; }

void danas_front_end_take(const danas_raw *portion, int32_t count) { frame = count == DANAS_FRAME_BYTES ? portion : 0; }

int danas_front_end_input(int8_t *input) {
  return frame && danas_preprocess(frame, DANAS_FRAME_WIDTH, DANAS_FRAME_HEIGHT, input);
}
