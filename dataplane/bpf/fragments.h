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

static __always_inline void
remember(const struct packet *pkt, u32 backend_id, const struct gw_address *address, u32 mode)
{
	struct gw_datagram key = datagram_of(pkt);
	struct gw_fragment value = {
		.seen_ns = bpf_ktime_get_ns(),
		.address = *address,
		.backend_id = backend_id,
		.mode = mode,
	};

	if (!DRY_RUN)
		fragments.update(&key, &value);
}

static __always_inline void remember_reply(const struct packet *pkt, const struct gw_address *vip)
{
	remember(pkt, GW_NO_BACKEND_ID, vip, GW_MODE_NAT);
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
