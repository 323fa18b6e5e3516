#include "program.h"

int main(void) {
  danas_setup();
  while (danas_loop()) {
  }
  return 0;
}
