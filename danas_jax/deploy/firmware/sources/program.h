/* The program on every board. */
#ifndef DANAS_PROGRAM_H_
#define DANAS_PROGRAM_H_

#ifdef __cplusplus
extern "C" {
#endif

/* Once. In bench mode it prints the table of the layers' times and does not return. */
void danas_setup(void);

/* Example, preprocessing, network, result; 0 where no example comes. */
int danas_loop(void);

#ifdef __cplusplus
}
#endif

#endif /* DANAS_PROGRAM_H_ */
