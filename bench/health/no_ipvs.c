/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Stands in for IPVS where the kernel has none, so that keepalived checks real servers all
 * the same: preloaded, it says yes to the socket options by which IPVS is told of them.
 * Nothing is balanced, and how keepalived checks is its own.
 */
#include <netinet/in.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <unistd.h>

#define IPVS_OPTIONS 1152 /* linux/ip_vs.h: IP_VS_BASE_CTL, and the 64 from there on */

static int is_for_ipvs(int level, int name)
{
	return level == IPPROTO_IP && name >= IPVS_OPTIONS && name < IPVS_OPTIONS + 64;
}

int setsockopt(int fd, int level, int name, const void *value, socklen_t size)
{
	if (is_for_ipvs(level, name))
		return 0;
	return syscall(SYS_setsockopt, fd, level, name, value, size);
}

int getsockopt(int fd, int level, int name, void *restrict value, socklen_t *restrict size)
{
	if (is_for_ipvs(level, name)) {
		memset(value, 0, *size);
		return 0;
	}
	return syscall(SYS_getsockopt, fd, level, name, value, size);
}
