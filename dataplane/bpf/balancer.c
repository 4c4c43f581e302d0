/* SPDX-License-Identifier: GPL-2.0-only OR Apache-2.0 */
/*
 * guideway's data plane: one XDP program, its stages in order, the one exit that counts.
 *
 * BCC compiles it; source.py pastes the quoted includes in place, since BCC translates map
 * calls in the main file only. Under BCC every function but the program itself has to be
 * inlined: one that is externally visible becomes a program of its own.
 */

#include <linux/if_ether.h>
#include <linux/in.h>
#include <linux/ip.h>
#include <linux/tcp.h>
#include <linux/udp.h>

#define AF_INET 2 /* linux/socket.h does not say */

#include "abi.h"
#include "maps.h"
#include "parse.h"
#include "hash.h"
#include "lookup.h"
#include "transmit.h"
#include "checksum.h"
#include "forward_dr.h"
#include "forward_nat.h"

static __always_inline void count(struct gw_counter *counter, const struct packet *pkt)
{
	/* Per CPU, and nothing interrupts us with another packet: no atomics. */
	counter->packets++;
	counter->bytes += pkt->bytes;
}

static __always_inline enum gw_reason
forward(struct xdp_md *ctx, struct packet *pkt, const struct gw_service *service)
{
	u32 service_id = service->id, backend_id;

	if (!is_acceptable(ctx, pkt->eth))
		return GW_OTHER_STATION;

	struct gw_backend *backend = pick_backend(pkt, service, &backend_id);

	if (!backend)
		return GW_NO_BACKEND;

	enum gw_reason reason = service->mode == GW_MODE_NAT ? forward_nat(ctx, pkt, backend) :
							       forward_dr(ctx, pkt, backend);
	struct gw_counter *of_service = service_counters.lookup(&service_id);
	struct gw_counter *of_backend = backend_counters.lookup(&backend_id);

	if (reason == GW_TTL_EXCEEDED)
		return reason;
	if (of_service)
		count(of_service, pkt);
	if (of_backend)
		count(of_backend, pkt);
	return reason;
}

static __always_inline enum gw_reason balance(struct xdp_md *ctx, struct packet *pkt)
{
	enum gw_reason why;

	if (!parse(ctx, pkt, &why)) {
		if (why == GW_NOT_OURS || !is_vip(&pkt->dst.address))
			return GW_NOT_OURS;
		return is_acceptable(ctx, pkt->eth) ? why : GW_OTHER_STATION;
	}

	struct gw_service *service = find_service(pkt);

	return service ? forward(ctx, pkt, service) : forward_reply(ctx, pkt);
}

/* The only function that knows which verdict a reason means, and the only exit. */
int balancer(struct xdp_md *ctx)
{
	struct packet pkt = {};
	enum gw_reason reason = balance(ctx, &pkt);
	u32 index = reason;
	struct gw_counter *counter = reason_counters.lookup(&index);

	if (counter)
		count(counter, &pkt);

	switch (reason) {
	case GW_FORWARDED_DR:
	case GW_FORWARDED_NAT:
	case GW_REPLIED_NAT:
		return pkt.action;
	case GW_NOT_OURS:
	case GW_OTHER_STATION:
	case GW_REPLY_DIRECT:
	case GW_REPLIED_BY_HOST:
		return XDP_PASS;
	default:
		return XDP_DROP;
	}
}
