#include "text.h"

void danas_write_decimal(danas_write write, uint64_t number, int digits) {
  char text[24], *at = text + sizeof text - 1;
  int written = 0;
  *at = '\0';
  do {
    if (digits && written == digits) *--at = '.';
    *--at = (char)('0' + number % 10);
    number /= 10;
    ++written;
  } while (number || written <= digits);
  write(at);
}

void danas_write_number(danas_write write, int64_t number) {
  if (number < 0) write("-");
  danas_write_decimal(write, number < 0 ? (uint64_t)(-number) : (uint64_t)number, 0);
}
