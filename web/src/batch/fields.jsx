/* The fields of decisions beside the reason. Called by decide.jsx. */
import { count } from "../format.js";
import { Field } from "../ui/dialog.jsx";

function TextField({ label, hint, form, change, name, mode = "text" }) {
	return (
		<Field label={label} hint={hint}>
			{(props) => (
				<input
					{...props}
					type="text"
					inputMode={mode}
					autoComplete="off"
					spellcheck={false}
					maxLength={200}
					value={form[name]}
					onInput={(e) => change({ [name]: e.currentTarget.value })}
				/>
			)}
		</Field>
	);
}

export function RateField({ form, change }) {
	return (
		<TextField
			label="Rate"
			hint="Such as 100/1m; empty: as fast as the upstream takes it."
			name="rate"
			form={form}
			change={change}
		/>
	);
}

export function StreamField({ form, change, what }) {
	return (
		<TextField
			label="For how long"
			hint={`Mail that follows ${what} for so long, such as 1h; empty: it goes on being held.`}
			name="stream"
			form={form}
			change={change}
		/>
	);
}

const choices = [
	["first", "The first"],
	["percent", "A share"],
	["rings", "In rings"],
	["all", "All at once"],
];

function RingFields({ form, change }) {
	const same = { form, change };
	return (
		<>
			<TextField label="Rings" hint="Recipients of each, then all." name="rings" {...same} />
			<TextField label="Wait after each" hint="Such as 10m." name="wait" {...same} />
			<TextField label="Pause over %" hint="Of a ring refused; 0: at the first." name="stop_on_text" mode="decimal" {...same} />
		</>
	);
}

export function ReleaseFields({ form, change, batch }) {
	const { how } = form;
	return (
		<>
			<fieldset class="choices">
				<legend>How much of {count(batch.held)} held</legend>
				{choices.map(([value, label]) => (
					<label class="check" key={value}>
						<input type="radio" name="how" value={value} checked={how === value} onChange={() => change({ how: value })} />
						{label}
					</label>
				))}
			</fieldset>
			<div class="fields">
				{how === "first" && <TextField label="Recipients" name="first" mode="numeric" form={form} change={change} />}
				{how === "percent" && <TextField label="Percent" name="percent" mode="decimal" form={form} change={change} />}
				{how === "rings" && <RingFields form={form} change={change} />}
			</div>
			<details>
				<summary>Rate, and what follows</summary>
				<div class="fields">
					<RateField form={form} change={change} />
					{(how === "rings" || how === "all") && <StreamField form={form} change={change} what="passes" />}
				</div>
			</details>
		</>
	);
}
