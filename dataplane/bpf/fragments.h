/* SPDX-License-Identifier: GPL-2.0-only OR Apache-2.0 */
/*
 * Fragments. Only the first one has ports; where it went is remembered for the others.
 *
 * Should they overtake it, they are dropped, and the sender sends the datagram again.
 */

static __always_inline struct gw_datagram datagram_of(const struct packet *pkt)
{
	return (struct gw_datagram){
		.source = pkt->src.address,
		.dest = pkt->dst.address,
		.id = pkt->fragment_id,
		.protocol = pkt->fragment_protocol,
	};
}

/* The trace of this first fragment, without what became of it; NULL never happens. */
static __always_inline struct gw_traces *begin_fragment_trace(struct packet *pkt)
{
	struct gw_traces *left = traces_of(pkt);

	if (!left)
		return NULL;
	left->kinds |= GW_TRACE_FRAGMENT;
	left->datagram = datagram_of(pkt);
	return left;
}

/* Where this first fragment goes is to be remembered. */
static __always_inline void
note_fragment(struct packet *pkt, const struct gw_backend *backend, u32 mode)
{
	struct gw_traces *left = begin_fragment_trace(pkt);

	if (left)
		left->fragment = (struct gw_fragment){
			.seen_ns = bpf_ktime_get_ns(),
			.backend_id = pkt->backend_id,
			.owner = backend->owner,
			.mode = mode,
		};
}

/* The same for that of a reply, which is shown to be from `vip`. */
static __always_inline void
note_reply_fragment(struct packet *pkt, const struct gw_address *vip)
{
	struct gw_traces *left = begin_fragment_trace(pkt);

	if (left)
		left->fragment = (struct gw_fragment){
			.seen_ns = bpf_ktime_get_ns(),
			.vip = *vip,
			.backend_id = GW_NO_BACKEND_ID,
			.mode = GW_MODE_NAT,
		};
}

/* What became of the first fragment of this one's datagram; NULL if nobody knows. */
static __always_inline struct gw_fragment *recall(const struct packet *pkt)
{
	struct gw_datagram key = datagram_of(pkt);
	struct gw_fragment *first = fragments.lookup(&key);

	if (!first)
		return NULL;
	if (is_older_than(first->seen_ns, bpf_ktime_get_ns(), GW_FRAGMENT_SECONDS * SECOND_NS))
		return NULL;
	return first;
}
