/* A path that is no page. */
import { Heading } from "../ui/heading.jsx";

export function Missing() {
	return (
		<>
			<Heading text="There is no such page" />
			<p>
				<a href="/">Back to the overview</a>
			</p>
		</>
	);
}
