#include <Arduino.h>

#include "board.h"
#include "text.h"

void board_start(void) {
  Serial.begin(115200);
  while (!Serial) {
  }
  Serial.setTimeout(1000);
}

// Asks for the bytes; an example that stops coming for a second is given up, and the next one asked for.
// With a camera, a microphone or sensors of your own: fill `portion` from them (README.md).
int board_read(void *portion, int32_t bytes) {
  Serial.print("send ");
  danas_write_number(board_write, bytes);
  Serial.print("\r\n");
  return Serial.readBytes(static_cast<char *>(portion), static_cast<size_t>(bytes)) == static_cast<size_t>(bytes);
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
