#include "board.h"
#include "program.h"

int main(void) {
  danas_setup();
  while (danas_loop()) {
  }
  board_stop(0);
  return 0;
}
