// `${name.part}` in a scenario's texts; tests/conformance/words.py does the same.
const PLACE = /\$\{([\w.]+)\}/g;
const WHOLE = /^\$\{([\w.]+)\}$/;

export function at(value, path) {
  for (const part of path.split(".")) value = value?.[part];
  return value ?? null;
}

export function filled(value, saved) {
  if (Array.isArray(value)) return value.map((each) => filled(each, saved));
  if (value && typeof value === "object")
    return Object.fromEntries(Object.entries(value).map(([key, each]) => [filled(key, saved), filled(each, saved)]));
  if (typeof value !== "string") return value;
  const whole = WHOLE.exec(value);
  return whole ? at(saved, whole[1]) : value.replace(PLACE, (_, path) => String(at(saved, path)));
}
