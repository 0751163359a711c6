enable f16;
enable wgpu_cooperative_matrix;

// Matrices of 16 by 16 that a subgroup holds together, f16 in and f32 out. (The
// directives stand before everything else.)

const UNIT: u32 = 16u;

alias Rows = coop_mat16x16<f16, A>;
alias Columns = coop_mat16x16<f16, B>;
alias Sums = coop_mat16x16<f32, C>;
