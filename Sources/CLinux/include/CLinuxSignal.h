// Signals caught and handed to a thread that waits for them.
#ifndef CLINUX_SIGNAL_H
#define CLINUX_SIGNAL_H

// Catches a signal; exec resets it to its default. A signal that is ignored stays ignored.
void fs_signal_catch(int signal);

// Catches a signal and does nothing more; exec resets it to its default. A signal that is ignored stays ignored.
void fs_signal_discard(int signal);

// Waits for the next signal that was caught.
int fs_signal_next(void);

#endif
