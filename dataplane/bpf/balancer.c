/* SPDX-License-Identifier: GPL-2.0-only OR Apache-2.0 */
/*
 * guideway's data plane: one XDP program, its stages in order, the one exit that counts.
 *
 * BCC compiles it; source.py pastes the quoted includes in place, since BCC translates map
 * calls in the main file only. Under BCC every function but the program itself has to be
 * inlined: one that is externally visible becomes a program of its own.
 */

#include <linux/icmp.h>
#include <linux/icmpv6.h>
#include <linux/if_ether.h>
#include <linux/in.h>
#include <linux/in6.h>
#include <linux/ip.h>
#include <linux/ipv6.h>
#include <linux/tcp.h>
#include <linux/udp.h>

#define AF_INET 2 /* linux/socket.h does not say */
#define AF_INET6 10
#define TRAFFIC_CLASS_MASK 0x0ff00000 /* of IPv6's first word, RFC 8200, 3 */

#include "abi.h"
#include "decision.h"
#include "maps.h"
#include "dry_run.h"
#include "parse.h"
#include "hash.h"
#include "directory.h"
#include "lookup.h"
#include "traces.h"
#include "affinity.h"
#include "transmit.h"
#include "checksum.h"
#include "ip.h"
#include "account.h"
#include "handshakes.h"
#include "fragments.h"
#include "ways.h"
#include "replies.h"
#include "forward_dr.h"
#include "forward_nat.h"
#include "serve.h"
#include "icmp.h"
#include "leave.h"

/*
 * Verifier: a family that is only known at run time makes it try IPv6's code on IPv4's
 * packets. So each family has this function inlined for itself, with a constant.
 */
static __always_inline enum gw_reason balance(struct xdp_md *ctx, struct packet *pkt,
					      struct cursor *cur, const bool is_ipv6)
{
	pkt->is_ipv6 = is_ipv6;

	enum kind kind = is_ipv6 ? parse_ipv6(ctx, cur, pkt) :
				   parse_ipv4(ctx, cur, pkt);

	if (kind == KIND_FOREIGN)
		return GW_NOT_OURS;
	if (kind == KIND_FLOW) {
		struct gw_service *service = find_service(pkt);

		return service ? serve(pkt, service) : forward_reply(ctx, pkt);
	}

	bool to_vip = is_vip(&pkt->dst.address);

	switch (kind) {
	case KIND_FRAGMENT:
		return serve_fragment(ctx, pkt, to_vip);
	case KIND_ICMP:
		return to_vip ? serve_icmp(ctx, pkt) : forward_error_reply(ctx, pkt);
	default: /* KIND_MALFORMED */
		if (!to_vip)
			return GW_NOT_OURS;
		return is_acceptable(pkt) ? GW_MALFORMED : GW_OTHER_STATION;
	}
}

static __always_inline enum gw_reason balance_frame(struct xdp_md *ctx, struct packet *pkt)
{
	struct cursor cur = { (void *)(long)ctx->data, (void *)(long)ctx->data_end };
	__be16 type;

	pkt->bytes = cur.end - cur.pos;
	if (pkt->bytes > USUAL_FRAME) /* it may go on in further buffers */
		pkt->bytes = bpf_xdp_get_buff_len(ctx);
	pkt->in.ifindex = ctx->ingress_ifindex;
	if (!parse_ethernet(&cur, pkt, &type))
		return GW_NOT_OURS;
	if (type == bpf_htons(ETH_P_IP))
		return balance(ctx, pkt, &cur, false);
	if (type == bpf_htons(ETH_P_IPV6))
		return balance(ctx, pkt, &cur, true);
	return GW_NOT_OURS;
}

/* The only function that knows which verdict a reason means. */
static __always_inline int verdict_of(enum gw_reason reason, const struct packet *pkt)
{
	switch (reason) {
	case GW_FORWARDED_DR:
	case GW_FORWARDED_NAT:
	case GW_REPLIED_NAT:
	case GW_ICMP_ANSWERED:
	case GW_ICMP_FORWARDED:
	case GW_ICMP_REPLIED:
		return pkt->action;
	case GW_NOT_OURS:
	case GW_OTHER_STATION:
	case GW_REPLY_DIRECT:
	case GW_REPLY_UNKNOWN:
	case GW_REPLIED_BY_HOST:
	case GW_ICMP_PASSED:
		return XDP_PASS;
	default:
		return XDP_DROP;
	}
}

/* The only exit: what a packet did is written and counted here, when all is decided. */
int balancer(struct xdp_md *ctx)
{
	struct packet pkt = {};
	enum gw_reason reason = balance_frame(ctx, &pkt);

	if (pkt.out)
		reason = transmit(ctx, &pkt, reason);

	int verdict = verdict_of(reason, &pkt);

	if (verdict != XDP_DROP && !DRY_RUN)
		leave_traces(&pkt);
	note_end(reason, pkt.out);

	u32 index = reason;
	struct gw_counter *counter = reason_counters.lookup(&index);

	if (counter)
		count(counter, &pkt);
	return verdict;
}
