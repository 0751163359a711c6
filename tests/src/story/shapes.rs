//! The shapes of the stories: rules that say what follows what.
//!
//! A rule is a name and its alternatives; an alternative may start with a weight
//! (`6 Once upon a time, ...`; without one it weighs 1). In the text:
//!
//! ```text
//! <rule>            any alternative of that rule
//! {hero}            the first field of the row bound to `hero`
//! {hero.his}        a named field; {hero.His} the same, capitalized
//! {begin=habit}     no text: only if the row's first field is `habit`
//! {hero.world=child}  no text: only if that field of the row is `child`
//! ```
//!
//! Every story has three parts: who it is about, what goes wrong and why, and how
//! it comes right. The last sentence of a story is never the middle of another, so
//! a story that breaks off is never a story.

/// The rule every story comes from.
pub(super) const START: &str = "story";

pub(super) const RULES: &[(&str, &[&str])] = &[
    (
        "story",
        &[
            "<open> <lost.love>\n\n<lost.gone> <lost.search> <lost.sad> <lost.ask> <lost.tell>\n\n\
             <lost.clue> <lost.found> <lost.thanks> <lost.end>",
            "<open> <trouble.walk>\n\n<trouble.hear> <trouble.who> <trouble.ask>\n\n\
             <trouble.think> {trouble.act}. {trouble.result}. <trouble.thanks> <trouble.end>",
            "<open> <fear.of>\n\n<when.fear> {fear.event}. <fear.shake> <fear.help>\n\n\
             {fear.act}. {fear.find}. <fear.proud> <fear.end>",
            "<open> <quarrel.friends>\n\n<when.day> <quarrel.pull> <quarrel.snap> <quarrel.apart>\n\n\
             <quarrel.sorry> <quarrel.mend> <quarrel.turns> <quarrel.end>",
            "<open> <skill.wish>\n\n<when.day> <skill.try> <skill.sad> <skill.advice>\n\n\
             <skill.practice> <skill.success> <skill.proud> <skill.end>",
            "<open> <plan.friends>\n\n<when.day> <plan.make> <plan.spoiled> <plan.sad>\n\n\
             <plan.idea> {indoors.did}. <plan.fun> <plan.end>",
            "<open> <food.walk>\n\n<food.sees> <food.wonder> <food.asks> <food.new>\n\n\
             <food.share> <food.glad> <food.play> <food.end>",
            "<open> <noise.bed>\n\n<noise.wake> <noise.afraid> <noise.elder>\n\n\
             <noise.look> <noise.maker> <noise.care> <noise.end>",
        ],
    ),
    // Who it is about.
    (
        "open",
        &[
            "6 {begin=habit}Once upon a time, there was a little {hero.kind} named {hero}. <lives>",
            "5 {begin=habit}Once upon a time, a {trait} little {hero.kind} named {hero} lived <home>.",
            "3 {begin=habit}Once upon a time, there lived a {trait} little {hero.kind}. \
             {hero.His} name was {hero}, and {hero.he} lived <home>.",
            "1 {begin=habit}Long ago, a little {hero.kind} named {hero} lived <home>.",
            "2 {begin=today}One day, a little {hero.kind} named {hero} woke up with a smile. <trait>",
            "1 {begin=today}One day, the sun was shining, and a little {hero.kind} named {hero} was \
             happy. <trait>",
        ],
    ),
    (
        "lives",
        &[
            "{hero.He} lived <home>.",
            "{hero.He} was very {trait} and lived <home>.",
        ],
    ),
    (
        "home",
        &[
            "{hero.world=child}{house}",
            "{hero.world=animal}{hero.home}",
        ],
    ),
    (
        "trait",
        &[
            "{hero.He} was a very {trait} {hero.kind}.",
            "Everyone liked {hero}, because {hero.he} was so {trait}.",
        ],
    ),
    (
        "when.day",
        &[
            "2 {begin=habit}One day,",
            "1 {begin=habit}One sunny morning,",
            "1 {begin=today}That morning,",
            "1 {begin=today}After breakfast,",
        ],
    ),
    (
        "when.fear",
        &[
            "{begin=habit}One {fear.time},",
            "{begin=today}That same {fear.time},",
        ],
    ),
    // Lost and found.
    (
        "lost.love",
        &[
            "{hero.He} had a {color} {toy} and loved it very much. Every day, {hero.he} {toy.use}.",
            "More than anything, {hero.he} loved {hero.his} {color} {toy}.",
            "{hero.His} {elder} had given {hero.him} a {color} {toy}, and every day {hero.he} {toy.use}.",
        ],
    ),
    (
        "lost.gone",
        &[
            "<when.day> the {color} {toy} was gone.",
            "<when.day> {hero} wanted to play with the {toy}, but it was not in its place.",
            "<when.day> {hero} could not find the {color} {toy}.",
        ],
    ),
    (
        "lost.search",
        &[
            "{hero.He} looked {nook} and {corner}, but it was not there.",
            "First {hero.he} looked {nook}. Then {hero.he} looked {corner}. The {toy} was nowhere.",
            "{hero.He} searched {nook}. {hero.He} even searched {corner}, but there was no {toy}.",
        ],
    ),
    (
        "lost.sad",
        &[
            "{hero} sat down and began to cry.",
            "A big tear rolled down {hero.his} cheek.",
            "{hero} felt sad and alone.",
        ],
    ),
    (
        "lost.ask",
        &[
            "Just then, {hero.his} friend {friend} came by. \"Why are you so sad?\" asked {friend}.",
            "\"What is wrong?\" asked {hero.his} friend {friend}.",
            "{hero.His} friend {friend} saw it and asked, \"What happened?\"",
        ],
    ),
    (
        "lost.tell",
        &[
            "\"I have lost my {toy},\" said {hero}. <lost.offer>",
            "\"My {toy} is gone,\" {hero.he} said, \"and I have looked everywhere.\" <lost.offer>",
        ],
    ),
    (
        "lost.offer",
        &[
            "\"Don't worry,\" said {friend}. \"We will look for it together.\"",
            "\"Then I will help you find it,\" {friend} said kindly.",
        ],
    ),
    (
        "lost.clue",
        &[
            "\"Where did you have it last?\" asked {friend}. {hero} thought hard. \
             \"I was sitting {spot}!\" {hero.he} cried.",
            "{friend} asked, \"Where were you yesterday?\" \
             \"I was playing {spot},\" said {hero}, and {hero.his} eyes grew wide.",
        ],
    ),
    (
        "lost.found",
        &[
            "They ran there as fast as they could. There it was, {spot}!",
            "They went to look, and there was the {toy}, safe and sound.",
            "So they hurried outside, and {spot} they found the {toy}.",
        ],
    ),
    (
        "lost.thanks",
        &[
            "\"Thank you, {friend}!\" said {hero}, and gave {friend.him} a big hug.",
            "{hero} laughed and danced. \"You are a true friend, {friend},\" {hero.he} said.",
        ],
    ),
    (
        "lost.end",
        &[
            "From that day on, {hero} always put the {toy} back in its place.",
            "The two friends played with the {toy} until the sun went down.",
            "That night, {hero} fell asleep with the {toy} beside {hero.him}.",
        ],
    ),
    // A friend in trouble.
    (
        "trouble.walk",
        &[
            "{hero.He} liked to go for long walks and listen to the birds.",
            "{hero.He} was small, but {hero.he} liked to help others.",
            "{hero.His} {elder} always told {hero.him}, \"Be good to everyone you meet.\"",
        ],
    ),
    (
        "trouble.hear",
        &[
            "<when.day> {hero} heard someone crying {spot}.",
            "<when.day> {hero} was walking along when a voice called, \"Help! Please help me!\"",
        ],
    ),
    (
        "trouble.who",
        &[
            "It was a little {friend.kind} named {friend}.",
            "{hero.He} went closer and saw a little {friend.kind}. It was {friend}, and {friend.he} looked very sad.",
        ],
    ),
    (
        "trouble.ask",
        &[
            "\"What is the matter, {friend}?\" asked {hero}. \"{trouble.says},\" said {friend}.",
            "\"Why are you crying?\" {hero} asked. \"{trouble.says},\" {friend} answered.",
        ],
    ),
    (
        "trouble.think",
        &[
            "{hero} thought for a moment. \"I know what to do!\" {hero.he} said.",
            "\"Don't be afraid,\" said {hero}. \"I will help you.\"",
            "{hero} wanted to help at once.",
        ],
    ),
    (
        "trouble.thanks",
        &[
            "\"Thank you so much!\" said {friend}, and {friend.he} smiled again.",
            "\"You saved me,\" {friend} said. \"How can I thank you?\" \
             \"Just be my friend,\" said {hero}.",
        ],
    ),
    (
        "trouble.end",
        &[
            "From then on, {hero} and {friend} were the best of friends.",
            "{hero} walked home with a warm and happy heart.",
            "And whenever {hero} needed help, {friend} was there for {hero.him}.",
        ],
    ),
    // Fear overcome.
    (
        "fear.of",
        &[
            "There was only one thing {hero} was afraid of, and that was {fear}.",
            "{hero.He} was not afraid of much, but {hero.he} was afraid of {fear}.",
            "{hero} had one secret: {hero.he} was afraid of {fear}.",
        ],
    ),
    (
        "fear.shake",
        &[
            "{hero} began to shake. \"I can't do this,\" {hero.he} whispered.",
            "{hero.His} heart beat fast, and {hero.he} wanted to run away.",
            "\"I am so scared!\" cried {hero}.",
        ],
    ),
    (
        "fear.help",
        &[
            "{hero.His} {elder} took {hero.his} hand. \"{fear.advice},\" {elder.he} said.",
            "\"I am here with you,\" said {hero.his} {elder}. \"{fear.advice}.\"",
            "\"I was scared once, too,\" said {hero.his} friend {friend}. \"{fear.advice}.\"",
        ],
    ),
    (
        "fear.proud",
        &[
            "\"I did it!\" said {hero}, and {hero.he} laughed out loud.",
            "{hero} was very proud. \"It was not so bad,\" {hero.he} said.",
        ],
    ),
    (
        "fear.end",
        &[
            "From that {fear.time} on, {hero} was not afraid of {fear} anymore.",
            "And {hero} learned that being brave means trying even when you are scared.",
        ],
    ),
    // A quarrel made up.
    (
        "quarrel.friends",
        &[
            "{hero.His} best friend was {friend}, and they did everything together.",
            "{hero.He} often played with {hero.his} friend {friend} {spot}.",
        ],
    ),
    (
        "quarrel.pull",
        &[
            "they found a {color} {toy} {spot}. \"I saw it first!\" said {hero}. \
             \"No, it is mine!\" said {friend}.",
            "both of them wanted to play with the {color} {toy}. \"Give it to me!\" cried {hero}. \
             \"No, it is my turn!\" cried {friend}.",
        ],
    ),
    (
        "quarrel.snap",
        &[
            "They pulled and pulled, until the {toy} {toy.snap}.",
            "{hero} pulled on one side and {friend} pulled on the other, and the {toy} {toy.snap}.",
        ],
    ),
    (
        "quarrel.apart",
        &[
            "\"Look what you did!\" they both shouted, and each went home alone.",
            "{friend} ran away in tears, and {hero} walked home without a word.",
        ],
    ),
    (
        "quarrel.sorry",
        &[
            "At home it was very quiet. {hero} missed {hero.his} friend, so {hero.he} went to \
             {friend} and said, \"I am sorry I was so selfish.\"",
            "{hero} felt bad all evening. The next day, {hero.he} knocked on {friend}'s door. \
             \"I am sorry,\" {hero.he} said. \"You matter more to me than a {toy}.\"",
        ],
    ),
    (
        "quarrel.mend",
        &[
            "\"I am sorry, too,\" said {friend}. Together they {toy.mend}.",
            "{friend} smiled. \"Let us fix it,\" {friend.he} said, and they {toy.mend}.",
        ],
    ),
    (
        "quarrel.turns",
        &[
            "Soon the {toy} was as good as new, and they took turns.",
            "First {friend} played with the {toy}, and then it was {hero}'s turn.",
        ],
    ),
    (
        "quarrel.end",
        &[
            "Sharing was much more fun than fighting.",
            "And {hero} and {friend} never fought over a {toy} again.",
            "After that, they were even better friends than before.",
        ],
    ),
    // Something learned.
    (
        "skill.wish",
        &[
            "{hero.He} had one big wish: {hero.he} wanted to learn to {skill}.",
            "All {hero.his} friends could {skill}, but {hero} could not.",
        ],
    ),
    (
        "skill.try",
        &[
            "{hero} tried to {skill}, but {skill.fail}.",
            "{hero} made up {hero.his} mind. {hero.He} did {hero.his} best to {skill}, but {skill.fail}.",
        ],
    ),
    (
        "skill.sad",
        &[
            "\"I will never learn it!\" {hero.he} cried.",
            "{hero} hung {hero.his} head. \"It is too hard for me,\" {hero.he} said.",
        ],
    ),
    (
        "skill.advice",
        &[
            "\"Nobody can do it the first time,\" said {hero.his} {elder}. \"{skill.advice}.\"",
            "{hero.His} {elder} smiled. \"{skill.advice},\" {elder.he} said, \"and do not give up.\"",
            "\"I can show you,\" said {hero.his} friend {friend}. \"{skill.advice}.\"",
        ],
    ),
    (
        "skill.practice",
        &[
            "So {hero} tried again, and again, and again.",
            "{hero} practiced every day, in the morning and in the evening.",
        ],
    ),
    (
        "skill.success",
        &[
            "After a week, {skill.success}.",
            "Then, one fine day, it worked: {skill.success}!",
        ],
    ),
    (
        "skill.proud",
        &[
            "\"Look, I can do it!\" {hero.he} shouted with joy.",
            "Everyone clapped, and {hero} was proud and happy.",
        ],
    ),
    (
        "skill.end",
        &[
            "Now {hero} knew that trying again is the secret of learning.",
            "And that night, {hero} dreamed of all the other things {hero.he} would learn.",
        ],
    ),
    // The weather spoils a plan.
    (
        "plan.friends",
        &[
            "{hero.His} best friend was called {friend}.",
            "{hero.He} had a good friend named {friend}, and they liked to be outside.",
        ],
    ),
    (
        "plan.make",
        &[
            "{hero} and {friend} wanted to {plan}. {plan.ready}.",
            "{hero} said to {friend}, \"Let us {plan}!\" {plan.ready}.",
        ],
    ),
    (
        "plan.spoiled",
        &[
            "But just as they opened the door, {weather.comes}.",
            "They were ready to go, but then {weather.comes}.",
        ],
    ),
    (
        "plan.sad",
        &[
            "\"Oh no!\" said {friend}. \"Now we can't {plan}.\"",
            "{friend} looked out at the {weather} and sighed. \"Our day is spoiled,\" {friend.he} said.",
        ],
    ),
    (
        "plan.idea",
        &[
            "{hero} thought about it. \"We can stay inside and {indoors.idea},\" {hero.he} said.",
            "But {hero} had an idea. \"Never mind the {weather},\" {hero.he} said. \"Let us {indoors.idea}!\"",
        ],
    ),
    (
        "plan.fun",
        &[
            "They laughed so much that they forgot the {weather}.",
            "It was so much fun that {friend} was not sad anymore.",
        ],
    ),
    (
        "plan.end",
        &[
            "When {weather.over}, they did not even notice.",
            "In the evening, {weather.over}, and both friends said that the {indoors.name} was the best \
             part of the day.",
        ],
    ),
    // A newcomer.
    (
        "food.walk",
        &[
            "{begin=habit}One day, {hero.his} {elder} gave {hero.him} {food} to eat on the way.",
            "{begin=today}{hero.He} put {food} in a bag and went for a walk.",
            "{begin=habit}One morning, {hero.he} took {food} and went for a walk.",
        ],
    ),
    (
        "food.sees",
        &[
            "On the way, {hero} saw a little {friend.kind} sitting all alone {spot}.",
            "{spot.Where} sat a little {friend.kind} who looked lonely.",
        ],
    ),
    (
        "food.wonder",
        &[
            "{hero} was shy, but {hero.he} went closer.",
            "{hero} had never seen {friend.him} before.",
        ],
    ),
    (
        "food.asks",
        &[
            "\"Hello, I am {hero}. What is your name?\" {hero.he} asked.",
            "\"Hello,\" said {hero}. \"Who are you?\"",
        ],
    ),
    (
        "food.new",
        &[
            "\"My name is {friend},\" came the answer. \"I am new here, and I don't know anyone.\"",
            "\"I am {friend},\" {friend.he} said. \"We moved here yesterday, and I have no friends yet.\"",
        ],
    ),
    (
        "food.share",
        &[
            "{hero} sat down beside {friend.him} and gave {friend.him} {food.half}.",
            "\"Are you hungry?\" asked {hero}, and {hero.he} held out {food.half}.",
        ],
    ),
    (
        "food.glad",
        &[
            "{friend} ate everything and began to smile. \"You are so kind,\" {friend.he} said.",
            "\"Thank you!\" said {friend}. \"That is the best thing I have ever eaten.\"",
        ],
    ),
    (
        "food.play",
        &[
            "Then they played and told each other stories until evening.",
            "After that, {hero} showed {friend} the whole place, from the mill to the river.",
        ],
    ),
    (
        "food.end",
        &[
            "{friend} was never lonely again, because now {friend.he} had a friend.",
            "And from that day on, {hero} and {friend} shared everything.",
        ],
    ),
    // A noise in the night.
    (
        "noise.bed",
        &[
            "{begin=habit}One night, {hero} was lying in bed and could not sleep.",
            "{begin=today}The day was long, and in the evening {hero} went to bed early.",
            "{begin=habit}One night, {hero.he} went to bed early, because it was cold outside.",
        ],
    ),
    (
        "noise.wake",
        &[
            "Suddenly, there was {noise} outside.",
            "All at once, {hero} heard {noise}. It came from outside.",
        ],
    ),
    (
        "noise.afraid",
        &[
            "\"Is it a monster?\" {hero.he} whispered, and pulled the blanket over {hero.his} head.",
            "{hero} was frightened. \"Who is there?\" {hero.he} called, but nobody answered.",
        ],
    ),
    (
        "noise.elder",
        &[
            "{hero.He} called {hero.his} {elder}. \"Let us go and see,\" said {elder.he}, and lit a lamp.",
            "{hero.His} {elder} came with a lamp. \"We will look together,\" {elder.he} said.",
        ],
    ),
    (
        "noise.look",
        &[
            "They opened the door very slowly.",
            "Hand in hand, they stepped out into the night.",
        ],
    ),
    (
        "noise.maker",
        &[
            "There was no monster at all, only a little {noise.maker}! {noise.why}.",
            "In the light of the lamp stood a small {noise.maker}. {noise.why}.",
        ],
    ),
    (
        "noise.care",
        &[
            "\"You poor thing,\" said {hero}, and {hero.he} {noise.care}.",
            "{hero} forgot {hero.his} fear. Very gently, {hero.he} {noise.care}.",
        ],
    ),
    (
        "noise.end",
        &[
            "Then {hero} went back to bed and slept until morning.",
            "After that, {hero} was never afraid of noises in the night, for a noise may be a \
             friend who needs help.",
        ],
    ),
];
