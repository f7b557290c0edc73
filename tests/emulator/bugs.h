/* bugs - the planted bugs of bugs.cu by name. */
#ifndef BUGS_H
#define BUGS_H

/* Runs the kernel of that name with its bug, or without; false when there is none or the launch failed. */
bool bug_run(const char *name, bool bug);

#endif
