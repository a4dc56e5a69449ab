/*
 * What a session costs at most, bytes: a contract that the structs themselves
 * are held to, and what a simulation counts with.
 */
#ifndef PROXY_RELAY_SEAT_SIZES_H
#define PROXY_RELAY_SEAT_SIZES_H

#define SEAT_CONN_BYTES 480u
#define SEAT_LEG_BYTES 256u

#endif
