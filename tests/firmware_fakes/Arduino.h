// What the sketch uses of Arduino's core, on standard input and output; the clock goes 7 us a question.
#pragma once
#define ARDUINO 10000
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>

struct FakeSerial {
  void begin(unsigned long) {}
  void setTimeout(unsigned long) {}
  explicit operator bool() const { return true; }
  size_t readBytes(char *to, size_t count) {
    const size_t got = fread(to, 1, count, stdin);
    if (got == 0) exit(0);
    return got;
  }
  size_t print(const char *text) { return static_cast<size_t>(fputs(text, stdout)); }
};
inline FakeSerial Serial;

inline unsigned long micros() {
  static uint32_t now = 0xFFFFFF00u;  // comes round soon
  return now += 7;
}
inline void delay(unsigned long) { exit(0); }
