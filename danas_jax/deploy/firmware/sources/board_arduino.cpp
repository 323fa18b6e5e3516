#include <Arduino.h>

#include "board.h"
#include "firmware_config.h"

void board_start(void) {
  Serial.begin(115200);
  while (!Serial) {
  }
  Serial.setTimeout(1000);
}

// A frame that stops coming for a second is given up, so that sender and board find each other again.
// For a camera: fill `frame` from it, 8 bits a channel, R, G, B (RGB565 has to be widened first).
int board_frame(uint8_t *frame) {
  while (Serial.readBytes(reinterpret_cast<char *>(frame), DANAS_FRAME_BYTES) != DANAS_FRAME_BYTES) {
  }
  return 1;
}

void board_write(const char *text) { Serial.print(text); }

uint64_t board_time_ns(void) {
  static uint32_t before = 0, wraps = 0;  // micros() starts again every 71 minutes
  const uint32_t now = micros();
  wraps += now < before;
  before = now;
  return ((static_cast<uint64_t>(wraps) << 32) + now) * 1000u;
}

void board_stop(int) {
  for (;;) {
    delay(1000);
  }
}
