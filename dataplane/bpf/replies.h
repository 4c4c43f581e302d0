/* SPDX-License-Identifier: GPL-2.0-only OR Apache-2.0 */
/*
 * Whose a NAT backend's reply is. Mostly its address says it: the backend belongs to one
 * service. If it belongs to several, or its service wants to be sure that it forwarded the
 * flow, then flows are written down on their way there.
 */

static __always_inline struct gw_reply_flow
reply_flow(const struct gw_endpoint *client, const struct gw_endpoint *backend)
{
	return (struct gw_reply_flow){
		.client = client->address,
		.backend = backend->address,
		.client_port = client->port,
		.backend_port = backend->port,
		.protocol = backend->protocol,
	};
}

/* It is to be written down, or goes on being known, whom the client speaks to. */
static __always_inline void note_speaker(struct packet *pkt, const struct gw_reply_flow *flow,
					 const struct gw_address *vip, __be16 port, u64 now_ns)
{
	struct gw_traces *left = traces_of(pkt);

	if (!left)
		return;
	left->kinds |= GW_TRACE_SPEAKER;
	left->reply_flow = *flow;
	left->speaker = (struct gw_speaker){ .seen_ns = now_ns, .vip = *vip, .port = port };
}

/*
 * Write down whom the client speaks to. One that has spoken to another VIP from the same port
 * speaks to this one now: the backend cannot tell the two apart.
 */
static __always_inline void track(struct packet *pkt, const struct gw_backend *backend)
{
	struct gw_endpoint to = {
		.address = backend->address,
		.port = port_at(backend, pkt->dst.port),
		.protocol = pkt->dst.protocol,
	};
	struct gw_reply_flow key = reply_flow(&pkt->src, &to);
	struct gw_speaker *known = replies.lookup(&key);
	u64 now_ns = bpf_ktime_get_ns();

	if (!known || is_older_than(known->seen_ns, now_ns, REFRESH_NS) ||
	    !is_equal(&known->vip, &pkt->dst.address) || known->port != pkt->dst.port)
		note_speaker(pkt, &key, &pkt->dst.address, pkt->dst.port, now_ns);
}

/* The VIP and port that a backend's packet to a client comes from; false: from none. */
static __always_inline bool
find_speaker(struct packet *pkt, const struct gw_return *from,
	     const struct gw_endpoint *client, const struct gw_endpoint *backend,
	     const bool may_write, struct gw_endpoint *speaker)
{
	speaker->address = from->vip;
	speaker->port = from->port ? from->port : backend->port;
	if (!from->is_tracked)
		return true;

	struct gw_reply_flow key = reply_flow(client, backend);
	struct gw_speaker *known = replies.lookup(&key);
	u64 now_ns = bpf_ktime_get_ns();

	if (!known || is_older_than(known->seen_ns, now_ns, GW_REPLY_SECONDS * SECOND_NS))
		return now_ns < from->until_ns;
	speaker->address = known->vip;
	speaker->port = known->port;
	if (may_write && is_older_than(known->seen_ns, now_ns, REFRESH_NS))
		note_speaker(pkt, &key, &speaker->address, speaker->port, now_ns);
	return true;
}
