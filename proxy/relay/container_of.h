/*
 * From a member to the struct that it is embedded in.
 */
#ifndef PROXY_RELAY_CONTAINER_OF_H
#define PROXY_RELAY_CONTAINER_OF_H

#include <stddef.h>

#define container_of(ptr, type, member)                                        \
	((type *)(void *)((char *)(ptr)-offsetof(type, member)))

#endif
