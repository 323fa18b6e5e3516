// A network found and exported by danas_jax; README.md says how to build this.
// Examples come over the serial port until board_read in board_arduino.cpp asks your camera, microphone or sensors.
#include "program.h"

void setup() { danas_setup(); }

void loop() { danas_loop(); }
