/* SPDX-License-Identifier: GPL-2.0-only OR Apache-2.0 */
/*
 * What a dry run of the program says of a packet; read by clang and by cffi, as abi.h is.
 *
 * Nothing here is ever pinned, so it is no part of GW_ABI_VERSION.
 */

/* Which rule named the backend of a packet's flow; see affinity.h. */
enum gw_rule {
	GW_RULE_NONE,   /* it did not come to that */
	GW_RULE_SLOT,   /* the slot, which nobody had before */
	GW_RULE_RECORD, /* the flow's record */
	GW_RULE_BEFORE, /* the slot, by who had it before: there is no record */
	GW_RULE_NOW     /* the slot, by who has it now: there is no record, and nobody who was before */
};

/* Value of `decisions`, the only one. What was not found out is 0. */
struct gw_decision {
	__u32 reason; /* enum gw_reason */
	__u32 has_service;
	__u32 service_id;
	__u32 ring_size;
	__u32 has_slot;
	__u32 slot; /* 0 ... ring_size - 1 */
	struct gw_slot owners;
	__u32 rule;       /* enum gw_rule */
	__u32 backend_id; /* that the rule names; it may be nobody's */
	__u32 out_ifindex; /* where to send; 0: no stage said so */
};
