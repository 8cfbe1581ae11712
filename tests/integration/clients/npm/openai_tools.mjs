// Tools by the `openai` npm client's chat completions: `node openai_tools.mjs BASE_URL`. Prints what it saw as JSON.
import OpenAI from "openai";
import { zodFunction, zodResponseFormat } from "openai/helpers/zod";
import { z } from "zod";

const client = new OpenAI({ baseURL: process.argv[2], apiKey: "none", maxRetries: 0 });
const looked = [];
const Order = z.object({ order_id: z.string() });
const Verdict = z.object({ order_id: z.string(), verdict: z.enum(["late", "lost"]) });
const findOrder = zodFunction({
  name: "find_order",
  parameters: Order,
  function: ({ order_id }) => {
    looked.push(order_id);
    return { carrier: "Blue Ox" };
  },
});
const ask = {
  model: "support-reply",
  max_completion_tokens: 300,
  messages: [{ role: "user", content: "Where is order A-1007?" }],
  trimtab: { variables: { shop: "Acme" } },
};
const { chat } = client;
const tools = [{ type: "function", function: findOrder.function }];

// By hand: the call, and the answer to its result.
async function byHand(complete) {
  const called = await complete({ ...ask, tools });
  const [{ message, finish_reason: finish }] = called.choices;
  const [call] = message.tool_calls;
  const result = { role: "tool", tool_call_id: call.id, content: JSON.stringify({ carrier: "Blue Ox" }) };
  const answered = await complete({ ...ask, tools, messages: [...ask.messages, message, result] });
  return {
    finish: [finish, answered.choices[0].finish_reason],
    call: [call.function.name, JSON.parse(call.function.arguments)],
    text: answered.choices[0].message.content,
    tokens: [called.usage.completion_tokens, answered.usage.completion_tokens],
  };
}

// By the client's own loop, which calls the tool and sends its result.
async function byRunner(runner) {
  const text = await runner.finalContent();
  return {
    roles: runner.messages.map((message) => message.role),
    result: await runner.finalFunctionToolCallResult(),
    text,
    tokens: (await runner.totalUsage()).completion_tokens,
  };
}

async function refused(promise) {
  try {
    await promise;
  } catch ({ constructor, status, type, code, param, message, headers }) {
    return { class: constructor.name, status, type, code, param, message, release: headers.get("x-trimtab-release") };
  }
}

const withUsage = { stream_options: { include_usage: true } };
const seen = {
  complete: await byHand((body) => chat.completions.create(body)),
  streamed: await byHand((body) => chat.completions.stream({ ...body, ...withUsage }).finalChatCompletion()),
  runner: await byRunner(chat.completions.runTools({ ...ask, tools: [findOrder] })),
  streamedRunner: await byRunner(chat.completions.runTools({ ...ask, ...withUsage, stream: true, tools: [findOrder] })),
  looked,
};

const named = { ...ask, tools, tool_choice: { type: "function", function: { name: "find_order" } } };
const { data, response } = await chat.completions.create({ ...named, stream: true }).withResponse();
seen.release = response.headers.get("x-trimtab-release");
seen.pieces = [];
for await (const { choices } of data) {
  for (const call of choices[0]?.delta.tool_calls ?? []) seen.pieces.push(call.function.arguments);
}

const parsed = await chat.completions.parse({ ...ask, response_format: zodResponseFormat(Verdict, "verdict") });
seen.parsed = parsed.choices[0].message.parsed;

seen.pinned = await refused(chat.completions.create({ ...named, temperature: 1 }));
seen.streamedPinned = await refused(chat.completions.create({ ...named, temperature: 1, stream: true }));
seen.unknown = await refused(chat.completions.create({ ...named, model: "support-replay" }));

console.log(JSON.stringify(seen));
