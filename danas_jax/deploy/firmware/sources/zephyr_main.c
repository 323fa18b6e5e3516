#include "program.h"

int main(void) {
  danas_setup();
  for (;;) danas_loop();
}
