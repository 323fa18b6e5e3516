#include "Arduino.h"
#include "arduino.ino"

int main() {
  setup();
  for (;;) loop();
}
