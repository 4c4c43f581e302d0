/* SPDX-License-Identifier: GPL-2.0-only OR Apache-2.0 */
/*
 * What holds for all that the program remembers of flows: records, replies, fragments.
 */

#define SECOND_NS 1000000000ULL
#define REFRESH_NS SECOND_NS /* so that busy flows seldom write */

/* Whether a time of CLOCK_MONOTONIC is over for longer than so; another CPU's may be ahead. */
static __always_inline bool is_older_than(u64 seen_ns, u64 now_ns, u64 age_ns)
{
	return (s64)(now_ns - seen_ns) > (s64)age_ns;
}

/* Whether what was seen then has to be told that it was seen again. */
static __always_inline bool is_to_be_refreshed(u64 seen_ns, u64 now_ns)
{
	return !DRY_RUN && is_older_than(seen_ns, now_ns, REFRESH_NS);
}

/*
 * Whether a packet may leave a trace of its flow: a datagram, TCP's beginning, or something
 * in the middle of a connection; no end of one, and nothing that no client sends.
 */
static __always_inline bool may_be_recorded(const struct packet *pkt)
{
	if (DRY_RUN)
		return false;
	return pkt->dst.protocol != IPPROTO_TCP || pkt->tcp_flags == TCP_FLAG_SYN ||
	       pkt->tcp_flags == TCP_FLAG_ACK;
}
