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

/*
 * Write down whom the client speaks to. One that has spoken to another VIP from the same port
 * speaks to this one now: the backend cannot tell the two apart.
 */
static __always_inline void track(const struct packet *pkt, const struct gw_backend *backend)
{
	struct gw_endpoint to = {
		.address = backend->address,
		.port = port_at(backend, pkt->dst.port),
		.protocol = pkt->dst.protocol,
	};
	struct gw_reply_flow key = reply_flow(&pkt->src, &to);
	struct gw_speaker *known = replies.lookup(&key);
	u64 now_ns = bpf_ktime_get_ns();

	if (known && !is_older_than(known->seen_ns, now_ns, REFRESH_NS) &&
	    is_equal(&known->vip, &pkt->dst.address) && known->port == pkt->dst.port)
		return;

	struct gw_speaker speaker = {
		.seen_ns = now_ns,
		.vip = pkt->dst.address,
		.port = pkt->dst.port,
	};

	replies.update(&key, &speaker);
}

/* The VIP and port that a backend's packet to a client comes from; false: from none. */
static __always_inline bool
find_speaker(const struct gw_return *from, const struct gw_endpoint *client,
	     const struct gw_endpoint *backend, struct gw_endpoint *speaker)
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
	if (is_older_than(known->seen_ns, now_ns, REFRESH_NS))
		known->seen_ns = now_ns;
	speaker->address = known->vip;
	speaker->port = known->port;
	return true;
}
