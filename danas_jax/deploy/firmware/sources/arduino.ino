// A network found and exported by danas_jax; README.md says how to build this.
// Frames come over the serial port until board_frame in board_arduino.cpp asks your camera for them.
#include "program.h"

void setup() { danas_setup(); }

void loop() { danas_loop(); }
