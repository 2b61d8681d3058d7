/* Everybody in a batch, a page at a time, found by a part of the address or the subject. */
import { useState } from "preact/hooks";
import { Empty, Failed, Loading } from "../ui/notice.jsx";
import { Search } from "../ui/search.jsx";
import { More } from "../ui/table.jsx";
import { use_list, use_settled } from "../use.js";
import { Deliveries } from "./samples.jsx";

function Found({ batch, state, q }) {
	const list = use_list("/v1/deliveries", { batch: batch.id, state, q, limit: 50 });
	return (
		<>
			<Failed problem={list.problem} retry={list.reload} />
			{list.items.length > 0 && <Deliveries caption="Recipients" rows={list.items} />}
			{list.items.length === 0 &&
				(list.loading ? (
					<Loading />
				) : (
					<Empty>{list.next ? "Nobody in the part looked at so far." : "Nobody."}</Empty>
				))}
			{list.items.length === 0 && list.next && (
				<button type="button" onClick={list.more} disabled={list.busy}>
					Look further
				</button>
			)}
			<More list={list} what="recipients" />
		</>
	);
}

export function Whole({ batch }) {
	const [open, set_open] = useState(false);
	const [state, set_state] = useState("");
	const [text, set_text] = useState("");
	const q = use_settled(text.trim());
	return (
		<details open={open} onToggle={(e) => set_open(e.currentTarget.open)}>
			<summary>All recipients</summary>
			{open && (
				<div class="whole">
					<form class="filters" role="search" onSubmit={(e) => e.preventDefault()}>
						<Search value={text} onChange={set_text} />
						<label>
							State
							<select value={state} onChange={(e) => set_state(e.currentTarget.value)}>
								<option value="">all</option>
								{["held", "queued", "sent", "failed", "discarded"].map((value) => (
									<option key={value}>{value}</option>
								))}
							</select>
						</label>
					</form>
					<Found key={`${state} ${q}`} batch={batch} state={state} q={q} />
				</div>
			)}
		</details>
	);
}
