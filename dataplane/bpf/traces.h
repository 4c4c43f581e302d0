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

/*
 * Whether a packet may leave a trace of its flow: a datagram, TCP's beginning, or something
 * in the middle of a connection; no end of one, and nothing that no client sends.
 */
static __always_inline bool may_be_recorded(const struct packet *pkt)
{
	return pkt->dst.protocol != IPPROTO_TCP || pkt->tcp_flags == TCP_FLAG_SYN ||
	       pkt->tcp_flags == TCP_FLAG_ACK;
}

/*
 * Where to write what the packet is to leave behind, if it gets out: leave.h does it, and no
 * stage, since what is dropped, however late, leaves nothing. NULL never happens.
 */
static __always_inline struct gw_traces *traces_of(struct packet *pkt)
{
	u32 zero = 0;

	if (!pkt->traces) {
		pkt->traces = traces.lookup(&zero);
		if (pkt->traces)
			pkt->traces->kinds = 0;
	}
	return pkt->traces;
}
