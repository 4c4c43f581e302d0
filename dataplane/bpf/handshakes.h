/* SPDX-License-Identifier: GPL-2.0-only OR Apache-2.0 */
/*
 * What clients' halves of handshakes tell of a backend, where its own half goes past us. A
 * client that was answered sends what follows its SYN in the sequence; one that was not
 * sends the SYN again, or nothing.
 */

static __always_inline u64 handshake_of(const struct packet *pkt,
					const struct gw_service *service)
{
	const __be32 *src = pkt->src.address.word, *dst = pkt->dst.address.word;
	u64 hash = (u64)service->hash_seed << 32 | (u32)pkt->src.port << 16 | pkt->dst.port;

	hash = mix(hash, (u64)src[0] << 32 | src[1]);
	hash = mix(hash, (u64)src[2] << 32 | src[3]);
	hash = mix(hash, (u64)dst[0] << 32 | dst[1]);
	return mix(hash, (u64)dst[2] << 32 | dst[3]);
}

static __always_inline struct gw_handshake *find_handshake(u64 flow)
{
	u32 index = (flow >> 32) % GW_HANDSHAKES;

	return handshakes.lookup(&index);
}

static __always_inline bool
is_same_handshake(const struct gw_handshake *one, const struct gw_handshake *other)
{
	return (one->flow == other->flow) & (one->next == other->next) &
	       (one->backend_id == other->backend_id);
}

/* That a connection begins or is there; of all other packets this is the one look at it. */
static __always_inline void note_handshake(struct packet *pkt, const struct gw_service *service)
{
	const struct tcphdr *tcp = pkt->l4;
	bool begins = begins_flow(pkt);

	if (!begins && pkt->tcp_flags != TCP_FLAG_ACK)
		return;

	struct gw_handshake seen = {
		.flow = handshake_of(pkt, service),
		.next = bpf_ntohl(tcp->seq) + begins,
		.backend_id = pkt->backend_id,
	};

	if (!begins) {
		struct gw_handshake *known = find_handshake(seen.flow);

		if (!known || !is_same_handshake(known, &seen))
			return;
	}

	struct gw_traces *left = traces_of(pkt);

	if (!left)
		return;
	left->kinds |= GW_TRACE_HANDSHAKE;
	left->handshake = seen;
}

static __always_inline void write_handshake(const struct gw_traces *left, const bool begins)
{
	u32 backend_id = left->handshake.backend_id;
	struct gw_handshake *known = find_handshake(left->handshake.flow);
	struct gw_handshakes *counter = handshake_counters.lookup(&backend_id);

	if (!known || !counter)
		return;
	if (!begins) {
		counter->completed++;
		known->flow = 0;
		return;
	}
	if (known->flow == left->handshake.flow && known->backend_id == backend_id)
		counter->repeated++;
	else
		counter->begun++;
	*known = left->handshake;
}
