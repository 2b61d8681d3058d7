/* Whether the gate is proven to work: the last drill, the upstreams, the store. */
import { count, lasting, many } from "../format.js";
import { State } from "../ui/notice.jsx";
import { Text } from "../ui/text.jsx";
import { Ago } from "../ui/time.jsx";

function Drill({ drill }) {
	if (!drill)
		return (
			<>
				<State value="never" tone="warn" /> no drill has shown that the fuse blows: mailfuse drill
			</>
		);
	return (
		<>
			<State value={drill.passed ? "passed" : "failed"} tone={drill.passed ? "good" : "bad"} /> <Ago at={drill.at} />
			{!drill.passed && (
				<>
					, passed last <Ago at={drill.passed_at} />
				</>
			)}
		</>
	);
}

export function Proof({ status, now }) {
	return (
		<section class="panel" aria-labelledby="proof">
			<h2 id="proof">Is the gate working?</h2>
			<dl class="facts">
				<dt>Proven by drill</dt>
				<dd>
					<Drill drill={status.last_drill} />
				</dd>
				{status.upstreams.map((u) => (
					<>
						<dt>
							Upstream <Text value={u.name} most={60} />
						</dt>
						<dd>
							<State value={u.up ? "up" : "down"} tone={u.up ? "good" : "bad"} /> {lasting(u.since, now)}, {many(u.connections, "connection")} to <Text value={u.address} most={120} />
						</dd>
					</>
				))}
				<dt>Alerts</dt>
				<dd>
					{status.alerts.pending === 0 && status.alerts.failed === 0
						? "all delivered"
						: `${count(status.alerts.pending)} on the way, ${count(status.alerts.failed)} given up`}{" "}
					<a href="/alerts">channels</a>
				</dd>
				<dt>Running</dt>
				<dd>
					mailfused {status.version}, started <Ago at={status.started_at} />
				</dd>
				<dt>Counters</dt>
				<dd>
					{count(status.counters.keys)} of at most {count(status.counters.keys_most)} keys
				</dd>
			</dl>
		</section>
	);
}
