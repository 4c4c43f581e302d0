/* SPDX-License-Identifier: GPL-2.0-only OR Apache-2.0 */
/*
 * What becomes of a packet to a service.
 */

/* Whether no client can have this address: RFC 1122, 3.2.1.3, RFC 4291, 2.5 to 2.7. */
static __always_inline bool is_martian(const struct packet *pkt)
{
	const __be32 *word = pkt->src.address.word;

	if (is_vip(&pkt->src.address)) /* the one that it goes to, or another */
		return true;
	if (pkt->is_ipv6) {
		bool low = !word[0] && !word[1] && !word[2] && bpf_ntohl(word[3]) <= 1;

		return low || (word[0] & bpf_htonl(0xff000000)) == bpf_htonl(0xff000000);
	}
	u32 address = bpf_ntohl(word[3]), network = address >> 24;

	return network == 0 || network == 127 || network >> 4 == 14 || address == 0xffffffff;
}

static __always_inline enum gw_reason
serve(struct packet *pkt, const struct gw_service *service)
{
	if (!is_acceptable(pkt))
		return GW_OTHER_STATION;
	if (is_martian(pkt))
		return GW_MARTIAN;

	struct gw_backend *backend = pick_backend(pkt, service, true);

	if (!backend)
		return GW_NO_BACKEND;

	if (pkt->first_fragment)
		note_fragment(pkt, backend, service->mode);
	if (service->is_watched)
		note_handshake(pkt, service);
	return service->mode == GW_MODE_NAT ? forward_nat(pkt, backend, service->id) :
					      forward_dr(pkt, backend, service->id);
}

/* The backend that got the first fragment, unless it is down, or its id another's by now. */
static __always_inline struct gw_backend *find_backend_again(const struct gw_fragment *first)
{
	struct gw_backend *backend = find_keeper(first->backend_id);

	return backend && backend->owner == first->owner ? backend : NULL;
}

static __always_inline enum gw_reason
serve_request_fragment(struct packet *pkt, const struct gw_fragment *first)
{
	struct gw_backend *backend = find_backend_again(first);

	if (!backend)
		return GW_NO_BACKEND;
	if (first->mode == GW_MODE_NAT && ttl_of(pkt) <= 1)
		return GW_TTL_EXCEEDED;
	if (first->mode == GW_MODE_NAT) {
		readdress(pkt, destination_of(pkt), &backend->address);
		set_ttl(pkt, ttl_of(pkt) - 1);
	}
	pkt->backend_id = first->backend_id;
	send_to_backend(pkt, backend, backend->service_id);
	return first->mode == GW_MODE_NAT ? GW_FORWARDED_NAT : GW_FORWARDED_DR;
}

static __always_inline enum gw_reason
serve_reply_fragment(struct xdp_md *ctx, struct packet *pkt, const struct gw_fragment *first)
{
	const struct gw_way *way;
	enum gw_reason reason = find_way(ctx, pkt, &way);

	if (reason != GW_REPLIED_NAT)
		return reason;
	if (ttl_of(pkt) <= 1)
		return GW_TTL_EXCEEDED;
	readdress(pkt, source_of(pkt), &first->vip);
	return send_reply(pkt, way, reason);
}

/* A later fragment: where the first one went. */
static __always_inline enum gw_reason
serve_fragment(struct xdp_md *ctx, struct packet *pkt, bool to_vip)
{
	struct gw_fragment *first = NULL;

	if (to_vip || may_be_ours(&pkt->src.address))
		first = recall(pkt);
	if (!first && !to_vip)
		return GW_NOT_OURS;
	if (to_vip && !is_acceptable(pkt))
		return GW_OTHER_STATION;
	if (!first)
		return GW_FRAGMENT;
	return first->backend_id == GW_NO_BACKEND_ID ? serve_reply_fragment(ctx, pkt, first) :
						       serve_request_fragment(pkt, first);
}
