(** Chunks, prefixes and places of hashes. *)
From stdpp Require Import base numbers.
From Coq Require Import Lia.
From Contextvars Require Import Words SortedList.
Local Open Scope N_scope.

(** The bits of a hash above the level where [n] levels are left: what the keys of one node share. *)
Definition prefix (n : nat) (hash : N) : N := hash mod 2 ^ shift n.

Lemma key_eqb_true a b : key_eqb a b = true <-> a = b.
Proof.
  unfold key_eqb. destruct a as [i h], b as [j g]; cbn.
  rewrite andb_true_iff, !N.eqb_eq. split; [intros [-> ->]; reflexivity | intros [= -> ->]; auto].
Qed.

Lemma key_eqb_false a b : key_eqb a b = false <-> a <> b.
Proof. rewrite <- key_eqb_true. destruct (key_eqb a b); split; congruence. Qed.

Lemma key_eqb_refl a : key_eqb a a = true.
Proof. apply key_eqb_true. reflexivity. Qed.

Lemma key_eqb_sym a b : key_eqb a b = key_eqb b a.
Proof. unfold key_eqb. rewrite (N.eqb_sym (key_id a)), (N.eqb_sym (key_hash a)). reflexivity. Qed.

Lemma chunk_mod n h : chunk n h = (h / 2 ^ shift n) mod 32.
Proof.
  unfold chunk. change 31 with (N.ones 5). rewrite N.land_ones, N.shiftr_div_pow2. reflexivity.
Qed.

Lemma chunk_bound n h : chunk n h < 32.
Proof. rewrite chunk_mod. apply N.mod_lt. discriminate. Qed.

Lemma shift_below n : (S n <= 8)%nat -> shift n = shift (S n) + 5.
Proof. unfold shift. lia. Qed.

Lemma prefix_split n h : (S n <= 8)%nat ->
  prefix n h = prefix (S n) h + 2 ^ shift (S n) * chunk (S n) h.
Proof.
  intros Hn. unfold prefix. rewrite (shift_below n Hn), N.pow_add_r, chunk_mod.
  change (2 ^ 5) with 32. apply N.mod_mul_r; [apply N.pow_nonzero |]; discriminate.
Qed.

(** With one level left nothing of a hash of 32 bits is left. *)
Lemma prefix_full a b : a < half -> b < half -> prefix 1 a = prefix 1 b -> a = b.
Proof.
  unfold prefix, half. change (2 ^ shift 1) with 34359738368. intros Ha Hb.
  rewrite !N.mod_small by lia. auto.
Qed.

Lemma prefix_top a : prefix 8 a = 0.
Proof. unfold prefix. change (2 ^ shift 8) with 1. apply N.mod_1_r. Qed.

(** With two levels left, two bits are. *)
Lemma chunk_2 h : h < half -> chunk 2 h < 4.
Proof.
  intros Hh. rewrite chunk_mod. change (2 ^ shift 2) with 1073741824.
  apply N.le_lt_trans with (h / 1073741824).
  - apply N.mod_le. discriminate.
  - apply N.div_lt_upper_bound; unfold half in Hh; lia.
Qed.

Lemma place_bound n h : place n h < 32 ^ N.of_nat n.
Proof.
  induction n as [|n IH]; cbn [place].
  - reflexivity.
  - rewrite Nat2N.inj_succ, N.pow_succ_r'. pose proof (chunk_bound (S n) h). nia.
Qed.

Lemma place_chunk_lt n a b : chunk (S n) a < chunk (S n) b -> place (S n) a < place (S n) b.
Proof.
  cbn [place]. pose proof (place_bound n a). pose proof (place_bound n b).
  generalize dependent (32 ^ N.of_nat n). generalize (place n a) (place n b).
  generalize (chunk (S n) a) (chunk (S n) b). intros. nia.
Qed.

Lemma place_chunk_eq n a b : chunk (S n) a = chunk (S n) b ->
  (place (S n) a <? place (S n) b) = (place n a <? place n b).
Proof.
  intros E. cbn [place]. rewrite E.
  destruct (N.ltb_spec (place n a) (place n b)); [apply N.ltb_lt | apply N.ltb_ge]; lia.
Qed.
